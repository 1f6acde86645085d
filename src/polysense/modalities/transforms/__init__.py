"""Arrays to signals: normalise, resample, spectrogram, subsample."""
