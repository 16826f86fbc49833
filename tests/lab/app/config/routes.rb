# frozen_string_literal: true

Rails.application.routes.draw do
  get 'health', to: 'health#show'
  get '.well-known/nodeinfo', to: 'nodeinfo#index'
  get 'nodeinfo/2.0', to: 'nodeinfo#show'
  get 'auth/sign_in', to: 'pages#sign_in'
  root to: 'pages#home'

  namespace :api, defaults: { format: 'json' } do
    namespace :v1 do
      get 'instance', to: '/instances#v1'
      get 'timelines/public', to: 'timelines#public_timeline'
      post 'accounts', to: 'accounts#create'
      get 'accounts/:id', to: 'accounts#show'
      post 'statuses', to: 'statuses#create'
      get 'statuses/:id', to: 'statuses#show'
    end
    namespace :v2 do
      get 'instance', to: '/instances#v2'
    end
  end
end
