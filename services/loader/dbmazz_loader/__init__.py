"""Ships loads to StarRocks, creates its tables, and reports what is durable."""
