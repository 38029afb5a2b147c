"""The dashboard: what a person sees and clicks; nothing here computes."""
