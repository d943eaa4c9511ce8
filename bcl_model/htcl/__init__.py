"""HTCL (arXiv 2505.23298): the audio side of the encoder and the losses of both stages.

    samples ─► log-mel ─► audio encoder ─► one row a song        losses: stage 1 semantics, stage 2 preference

Sizes and losses are FOUND in the authors' code; what is not, is called our reconstruction where it stands. Absent so
far: reading sound files, the text encoder, heads, training, and whatever would call these from the command line.
"""
