# frozen_string_literal: true

class Tag < ApplicationRecord
  def self.find_or_create_named(name)
    find_by('lower(name) = ?', name.downcase) || create!(name: name)
  end
end
