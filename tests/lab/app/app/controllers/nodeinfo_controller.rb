# frozen_string_literal: true

# Cached in Redis under a name without the version: after an update it goes on naming the old one for a while.
class NodeinfoController < ApplicationController
  KEY = 'cache:nodeinfo:2.0'

  def index
    render json: { links: [{ rel: 'http://nodeinfo.diaspora.software/ns/schema/2.0', href: "https://#{domain}/nodeinfo/2.0" }] }
  end

  def show
    body = REDIS_POOL.with do |redis|
      redis.get(KEY) || document.tap { |fresh| redis.setex(KEY, 1800, fresh) }
    end
    render json: body
  end

  private

  def document
    {
      version: '2.0', software: { name: 'mastodon', version: Mastodon::Version.shown }, protocols: ['activitypub'],
      services: { outbound: [], inbound: [] }, openRegistrations: false,
      usage: { users: { total: User.count, activeMonth: 0, activeHalfyear: 0 }, localPosts: Status.count }, metadata: {}
    }.to_json
  end
end
