"""Routes, one module a resource; they only translate."""
