# frozen_string_literal: true

class Api::V1::StatusesController < ApplicationController
  # Answers 200 only after COMMIT; the same Idempotency-Key of an account gets the same status again.
  def create
    account = Account.named(params.require(:account)) || raise(ActiveRecord::RecordNotFound)
    text = (params[:text] || params[:status]).to_s
    return render(json: { error: 'Validation failed: Text can\'t be blank' }, status: 422) if text.empty?

    key = request.headers['Idempotency-Key'].presence
    status = post(account, text, key)
    render json: { id: status.id.to_s, uri: status.uri, content: status.content, text: status.text, created_at: status.created_at }
  end

  def show
    render json: Status.find(params[:id]).as_entity
  end

  private

  def post(account, text, key)
    attributes = { account_id: account.id, text: text, language: 'en', visibility: :public, idempotency_key: key }
    attributes[:quote_approval_policy] = 1 if Mastodon::Version.since?('4.4')
    status = Status.transaction do
      made = Status.new(attributes)
      made.id = Status.connection.select_value("SELECT nextval('statuses_id_seq')")
      made.uri = "https://#{domain}/users/#{account.username}/statuses/#{made.id}"
      made.save!
      made
    end
    tag(status)
    DistributionWorker.perform_async(status.id)
    status
  rescue ActiveRecord::RecordNotUnique
    Status.find_by!(account_id: account.id, idempotency_key: key)
  end

  def tag(status)
    status.text.scan(/#(\w{2,})/).flatten.uniq.first(5).each do |name|
      found = Tag.find_or_create_named(name)
      Status.connection.execute("INSERT INTO statuses_tags (status_id, tag_id) VALUES (#{status.id}, #{found.id}) ON CONFLICT DO NOTHING")
    end
  end
end
