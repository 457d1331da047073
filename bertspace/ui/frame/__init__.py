"""What every tab is drawn with: HTML, charts, the theme, errors and events."""
