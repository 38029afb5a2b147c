"""What every wing may use: errors, records, the layout of a style code, words, files, jobs, intervals."""
