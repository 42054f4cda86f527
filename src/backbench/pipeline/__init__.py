"""One use case a command: extract, train_fold, evaluate, leaderboard, and what surrounds them."""
