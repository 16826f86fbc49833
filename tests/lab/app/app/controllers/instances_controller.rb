# frozen_string_literal: true

class InstancesController < ApplicationController
  def v1
    render json: {
      uri: domain, title: 'A practice Mastodon', version: Mastodon::Version.shown, registrations: false,
      stats: { user_count: User.count, status_count: Status.maximum(:id).to_i, domain_count: 1 },
      urls: { streaming_api: "wss://#{domain}" }
    }
  end

  def v2
    render json: {
      domain: domain, title: 'A practice Mastodon', version: Mastodon::Version.shown,
      source_url: 'https://github.com/mastodon/mastodon',
      usage: { users: { active_month: User.where('current_sign_in_at > ?', 30.days.ago).count } },
      languages: ['en'], configuration: { urls: { streaming: "wss://#{domain}" } },
      registrations: { enabled: false, approval_required: false, message: nil },
      api_versions: { mastodon: Mastodon::Version.api_level }, rules: []
    }
  end
end
