# frozen_string_literal: true

class Api::V1::AccountsController < ApplicationController
  def create
    username = params.require(:username).to_s
    return render(json: { error: 'Username must be letters, digits and _' }, status: 422) unless username.match?(/\A\w{1,30}\z/)

    account = Account.transaction do
      made = Account.create!(username: username, display_name: username, note: '', uri: "https://#{domain}/users/#{username}")
      User.create!({ account_id: made.id, email: "#{username}@#{domain}", encrypted_password: SecureRandom.hex(30) }.merge(User.new_settings))
      made
    end
    render json: account.as_entity
  rescue ActiveRecord::RecordNotUnique
    render json: Account.named(username).as_entity
  end

  def show
    render json: Account.find(params[:id]).as_entity
  end
end
