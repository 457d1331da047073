"""How the page looks: the two colours that mean two models, the gradio theme, the style sheet."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from bertspace.drawing import BASE, TUNED

__all__ = ["BASE", "TUNED", "css", "theme"]

SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
SYSTEM_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")

# Ink for what is neither model: buttons, focus rings and chosen cards must not look like the base.
INK = gr.themes.Color(
    "#f4f6f8", "#e8ecf0", "#d3dae2", "#b0bbc8", "#8796a8", "#64748b",
    "#475569", "#334155", "#263346", "#1a2433", "#0f1722", name="ink",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """Cards on a quiet ground, one scale of spacing, fonts that the system has already."""
    look = gr.themes.Base(
        primary_hue=INK,
        secondary_hue=INK,
        neutral_hue=INK,
        text_size=gr.themes.sizes.text_md,
        spacing_size=gr.themes.sizes.spacing_md,
        radius_size=gr.themes.sizes.radius_md,
        font=SYSTEM_FONTS,
        font_mono=SYSTEM_MONO,
    )
    return look.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_950",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_700",
        border_color_accent="*neutral_500",
        border_color_accent_dark="*neutral_400",
        color_accent="*neutral_700",
        color_accent_soft_dark="*neutral_800",
        # One card a step: what lies in it has no frame of its own.
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_padding="0",
        block_shadow="none",
        block_title_text_weight="600",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_info_text_size="*text_sm",
        layout_gap="16px",
        form_gap_width="16px",
        input_background_fill="white",
        input_background_fill_dark="*neutral_950",
        input_border_width="1px",
        input_border_color="*neutral_200",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*neutral_500",
        input_border_color_focus_dark="*neutral_400",
        input_shadow_focus="0 0 0 3px *neutral_100",
        input_shadow_focus_dark="0 0 0 3px *neutral_800",
        checkbox_background_color_selected="*neutral_700",
        checkbox_background_color_selected_dark="*neutral_400",
        checkbox_border_color_selected="*neutral_700",
        checkbox_border_color_selected_dark="*neutral_400",
        checkbox_label_background_fill="white",
        checkbox_label_background_fill_dark="*neutral_900",
        checkbox_label_border_width="1px",
        checkbox_label_border_color="*neutral_200",
        checkbox_label_border_color_dark="*neutral_700",
        checkbox_label_border_color_selected="*neutral_700",
        checkbox_label_border_color_selected_dark="*neutral_300",
        button_primary_background_fill="*neutral_800",
        button_primary_background_fill_hover="*neutral_700",
        button_primary_background_fill_dark="*neutral_100",
        button_primary_background_fill_hover_dark="white",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_950",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_50",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        button_border_width_dark="1px",
        button_large_padding="10px 20px",
        button_large_text_size="*text_md",
        button_medium_padding="8px 16px",
        button_medium_text_size="*text_md",
        button_small_padding="6px 12px",
        button_small_text_size="*text_sm",
        loader_color="*neutral_500",
    )


def css() -> str:
    """Every .css file of this folder, in the order of their names: a tab's own styles lie beside it."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.css")))
