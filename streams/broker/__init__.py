"""The embedded broker: Apache Kafka itself, from two wheels; the topics; and how clients reach any Kafka."""
