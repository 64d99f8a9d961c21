"""One-page training programs: `zoo train NAME`, or `python -m zoo.recipes.NAME`.

In a checkout, `python -m recipes.NAME` does the same.
"""
