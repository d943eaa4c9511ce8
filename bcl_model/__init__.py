"""The model, offline and online. Knows no Kafka and never imports streams."""
