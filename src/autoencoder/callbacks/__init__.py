"""What Lightning calls while a run trains: checkpoints, history, progress, stopping, views."""
