"""The models of the padding-free downsampling paper."""
