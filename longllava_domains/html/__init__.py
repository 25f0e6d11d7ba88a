"""HTML that stands alone: escaped text and tables, for notebooks and for pages that we write."""
