# frozen_string_literal: true

# Replaced in every release image.
module Mastodon
  module Release
    NUMBER = '0.0.0'
    LINE = '0.0'
    SCHEMA = '4.5'
    FLAWS = [].freeze
  end
end
