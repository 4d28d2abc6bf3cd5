"""A program that knows RabbitMQ and nothing else: `ticker.py URL EXCHANGE KEY COUNT` publishes numbered ticks."""

import json
import sys

import pika

url, exchange, key, count = sys.argv[1:]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.exchange_declare(exchange, exchange_type="topic", durable=True)
channel.confirm_delivery()
for number in range(int(count)):
    properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
    channel.basic_publish(exchange, key, json.dumps({"tick": number}), properties)
    # Whoever runs us counts what RabbitMQ has confirmed.
    print(number, flush=True)
connection.close()
