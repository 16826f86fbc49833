# frozen_string_literal: true

class ApplicationController < ActionController::API
  rescue_from ActiveRecord::RecordNotFound do
    render json: { error: 'Record not found' }, status: 404
  end

  rescue_from ActiveRecord::RecordInvalid, ActionController::ParameterMissing do |error|
    render json: { error: error.message }, status: 422
  end

  rescue_from ActiveRecord::ConnectionNotEstablished, PG::ConnectionBad, Redis::CannotConnectError do |error|
    logger.error(error.message)
    render json: { error: 'Remote data could not be fetched' }, status: 503
  end

  private

  def domain
    ENV.fetch('LOCAL_DOMAIN', 'localhost')
  end
end
