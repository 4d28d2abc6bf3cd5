//! The only rooms that name a product: Redis, RabbitMQ and the embedded queue.
