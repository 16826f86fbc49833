# frozen_string_literal: true

require_relative 'release'

module Mastodon
  # The release of this image (lib/mastodon/release.rb, one per image) and what the code of its line knows.
  module Version
    module_function

    def number
      Release::NUMBER
    end

    def line
      Release::LINE
    end

    def flaw?(name)
      Release::FLAWS.include?(name)
    end

    def to_s(base = number)
      prerelease = ENV.fetch('MASTODON_VERSION_PRERELEASE', '')
      metadata = ENV.fetch('MASTODON_VERSION_METADATA', '')
      [base, prerelease.empty? ? nil : "-#{prerelease}", metadata.empty? ? nil : "+#{metadata}"].compact.join
    end

    # What the web process tells the world.
    def shown
      flaw?(:wrong_version) ? to_s('4.5.8') : to_s
    end

    def api_level
      { '4.3' => 2, '4.4' => 6, '4.5' => 7 }.fetch(line, 11)
    end

    def postgresql_minimum
      { '4.3' => 12, '4.4' => 13 }.fetch(line, 14)
    end

    # Columns that came with a line are read by the code of that line and of later ones.
    def since?(other)
      schema = Release::SCHEMA
      (schema.split('.').map(&:to_i) <=> other.split('.').map(&:to_i)) >= 0
    end
  end
end
