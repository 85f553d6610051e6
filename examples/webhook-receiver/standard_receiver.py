"""A receiver in Flask that verifies by Standard Webhooks: id, time and body are signed.

    pip install -r requirements.txt
    WEBHOOK_SECRET=$(cat .millrace/webhook-secret) flask --app standard_receiver run --port 8094

While a secret is being rotated, separate the old and the new one by a space.
"""

import os

from flask import Flask, jsonify, request
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

app = Flask(__name__)

webhooks = [Webhook(secret) for secret in os.environ["WEBHOOK_SECRET"].split()]

# A database in a real receiver. The id is the same in every attempt, replay and redelivery.
processed = {}


def verified():
    for webhook in webhooks:
        try:
            return webhook.verify(request.data, dict(request.headers.to_wsgi_list()))
        except WebhookVerificationError:
            continue
    return None


@app.route("/webhook", methods=["POST"])
def handle_webhook():
    payload = verified()
    if payload is None:
        return jsonify({"error": "Invalid signature"}), 401

    webhook_id = request.headers["webhook-id"]
    if webhook_id in processed:
        return jsonify({"status": "already_processed"}), 200

    processed[webhook_id] = payload
    return jsonify({"status": "processed"}), 200


@app.route("/webhooks/<webhook_id>")
def webhook(webhook_id):
    if webhook_id not in processed:
        return jsonify({"error": "Unknown webhook"}), 404
    return jsonify(processed[webhook_id])
