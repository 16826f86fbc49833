# frozen_string_literal: true

# Everything is set in config/application.rb.
