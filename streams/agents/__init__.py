"""The Faust shell: the feed, one agent per topic, the replicated views, liveness."""
