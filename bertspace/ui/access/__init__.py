"""Who is at the page, what they may do, and how much of it they may take up."""
