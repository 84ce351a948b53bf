"""StarRocks: Stream Load over HTTP, DDL and metadata over the MySQL port."""
