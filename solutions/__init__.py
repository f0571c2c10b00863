"""The answers: one importable text notebook a chapter, and the course's reference models."""
