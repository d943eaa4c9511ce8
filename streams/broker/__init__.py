"""The embedded broker: Apache Kafka itself, from two wheels."""
