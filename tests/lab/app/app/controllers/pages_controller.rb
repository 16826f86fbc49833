# frozen_string_literal: true

class PagesController < ApplicationController
  MANIFEST = JSON.parse(Rails.root.join('public/packs/manifest.json').read).freeze

  def home
    redirect_to '/auth/sign_in'
  end

  def sign_in
    render body: <<~HTML, content_type: 'text/html; charset=utf-8'
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <title>Log in - #{ERB::Util.html_escape(domain)}</title>
      <link rel="stylesheet" media="all" href="#{MANIFEST.fetch('common.css')}">
      <script src="#{MANIFEST.fetch('public.js')}" defer="defer"></script>
      </head>
      <body class="auth-body" data-version="#{Mastodon::Version.shown}">
      <form class="simple_form new_user" id="new_user" action="/auth/sign_in" method="post">
      <input type="email" name="user[email]"><input type="password" name="user[password]">
      <button type="submit">Log in</button>
      </form>
      </body>
      </html>
    HTML
  end
end
