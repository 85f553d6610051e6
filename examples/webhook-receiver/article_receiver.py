"""The receiver of the article, in Flask: the hex HMAC of the raw body, and one look at each job.

    pip install -r requirements.txt
    WEBHOOK_SECRET=$(cat .millrace/webhook-secret) flask --app article_receiver run --port 8093

The key of the HMAC is the secret as it stands, `whsec_` and all.
"""

import hashlib
import hmac
import os

from flask import Flask, jsonify, request

app = Flask(__name__)

WEBHOOK_SECRET = os.environ["WEBHOOK_SECRET"]

# A database in a real receiver: this one forgets when it ends.
processed_jobs = {}


def verify_signature(payload, signature):
    expected = hmac.new(WEBHOOK_SECRET.encode(), payload, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature)


@app.route("/webhook", methods=["POST"])
def handle_webhook():
    signature = request.headers.get("X-Webhook-Signature", "")
    if not verify_signature(request.data, signature):
        return jsonify({"error": "Invalid signature"}), 401

    data = request.json
    job_id = data["job_id"]
    if job_id in processed_jobs:
        return jsonify({"status": "already_processed"}), 200

    processed_jobs[job_id] = data["result"]
    return jsonify({"status": "processed"}), 200


@app.route("/jobs/<job_id>")
def job(job_id):
    if job_id not in processed_jobs:
        return jsonify({"error": "Unknown job"}), 404
    return jsonify({"job_id": job_id, "result": processed_jobs[job_id]})
