"""What a client does all day. These tables stand in each workspace's own schema and point at nothing outside it."""
