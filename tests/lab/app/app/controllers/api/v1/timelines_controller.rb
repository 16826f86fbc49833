# frozen_string_literal: true

class Api::V1::TimelinesController < ApplicationController
  def public_timeline
    limit = (params[:limit] || 20).to_i.clamp(1, 40)
    render json: Status.public_timeline(limit).map(&:as_entity)
  end
end
