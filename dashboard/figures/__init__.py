"""Figures as pure functions: typed frames and findings in, SVG, HTML fragments or viewer payloads out.

    Frames + findings --trace_view--> columnar payload --viewer--> waterfall, flame graph, minimap
                      --sequence----> SVG, Mermaid
                      --dependency--> SVG (graph, or matrix above 25 agents)
                      --conversation, state_diff, findings--> HTML fragments

The dashboard mounts them and the report inlines them; neither Streamlit nor Plotly is known here.
Every text that came from a model, a tool or a user goes through `markup.esc` or, in JavaScript, through textContent.
"""
