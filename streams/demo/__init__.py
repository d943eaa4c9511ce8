"""The demo: a real Kafka, a simulated world, a trained model, workers, releases while plays go on, and a judgement."""
