"""From samples to the page's contents: values in, values out."""
