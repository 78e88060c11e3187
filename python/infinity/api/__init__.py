"""What both hosts answer to requests, whatever carries them: shapes, checks, outcomes, refusals. The daemon's and the cloud's HTTP are thin above it."""
