"""What the chapters measure and draw: one module a chapter, `draw_x(x())` for each figure."""
