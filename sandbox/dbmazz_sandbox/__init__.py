"""The stack on a laptop: embedded PostgreSQL, a StarRocks look-alike and traffic generators."""
