# frozen_string_literal: true

class Setting < ApplicationRecord
end
