"""Where bytes lie: files, ranges of archives, groups of files; checked before they are decoded."""
