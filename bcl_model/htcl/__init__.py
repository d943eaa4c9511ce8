"""HTCL (arXiv 2505.23298): sounds and words of a song become vectors, trained for meaning first, then for preference.

    samples ─► log-mel ─► audio encoder ─► head ─► audio vector ┐
                                                                ├─ fusion, in the losses only
    words ──► pieces ──► text encoder ──► head ─► text vector ──┘

corpus, spectra       a folder of songs, who is held out, the frames of each song, made once
train, checkpoint     stage 1 (semantics) and stage 2 (preference), one loop, alone or by torchrun
artifact, embedder    a trained model as a folder, and at work
embed_folder, probe   vectors of a folder of sound files; what vectors know of held-out songs

Sizes and losses are FOUND in the authors' code; what is not, is called our reconstruction where it stands.
"""
