# frozen_string_literal: true

# Liveness only: neither the database nor Redis is asked.
class HealthController < ActionController::API
  def show
    if Mastodon::Version.flaw?(:web_unhealthy)
      render plain: 'starting', status: 503
    else
      render plain: 'OK'
    end
  end
end
