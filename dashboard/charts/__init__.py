"""Plotly charts of the dashboard: polars frames in, figures as plain dicts out. Colours come from the palette, always explicit.

    trends          values over time
    distributions   how a value spreads, per name
    breakdowns      what a total is made of

Times on the axes are UTC. A chart never invents a value: where nothing ended there is no rate, where no price is known
there is no cost, and the line has a gap.
"""
