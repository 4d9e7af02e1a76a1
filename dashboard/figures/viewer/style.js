const STYLE = `
.tv{position:relative;display:flex;flex-direction:column;box-sizing:border-box;overflow:hidden;background:var(--th-bg);border:1px solid var(--th-line);border-radius:6px}
.tv *{box-sizing:border-box}.tv [hidden]{display:none!important}.tv canvas{display:block}.tv :focus-visible{outline:2px solid var(--th-accent);outline-offset:-2px}
.tv-bar{display:flex;flex-wrap:wrap;gap:6px 5px;align-items:center;padding:6px 8px;background:var(--th-bg2);border-bottom:1px solid var(--th-line)}
.tv-bar>span{white-space:nowrap}.tv-seg{display:inline-flex}.tv button,.tv input{font:inherit;color:var(--th-fg);background:var(--th-bg);border:1px solid var(--th-line);border-radius:4px;padding:2px 7px;height:24px}
.tv button{cursor:pointer}.tv-seg button{border-radius:0;margin-left:-1px}.tv-seg button:first-child{border-radius:4px 0 0 4px;margin:0}.tv-seg button:last-child{border-radius:0 4px 4px 0}
.tv button[aria-pressed=true]{background:color-mix(in srgb,var(--th-accent) 18%,var(--th-bg));border-color:var(--th-accent);position:relative;font-weight:600}
.tv button:disabled{opacity:.45;cursor:default}.tv input{width:112px}.tv-sp{flex:1}.tv-mut{color:var(--th-muted)}.tv-num{font-variant-numeric:tabular-nums}
.tv-head{display:flex;height:${RULER}px;flex:none;border-bottom:1px solid var(--th-line);background:var(--th-bg2);color:var(--th-muted);line-height:${RULER}px}
.tv-head>div:first-child{padding-left:10px}.tv-scroll{flex:0 1 auto;min-height:96px;overflow:hidden auto;position:relative}.tv-rows{position:relative}
.tv-r{position:absolute;left:0;right:0;height:${ROW}px;line-height:${ROW}px;display:flex;cursor:pointer}.tv-r:hover{background:color-mix(in srgb,var(--th-accent) 8%,transparent)}
.tv-r[aria-selected=true]{background:color-mix(in srgb,var(--th-accent) 18%,transparent)}.tv-dim{opacity:.38}
.tv-nm{flex:none;position:relative;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;border-right:1px solid var(--th-line);padding-right:6px}
.tv-in{position:absolute;left:8px;top:0;bottom:0;background:repeating-linear-gradient(90deg,transparent 0 6px,var(--th-line) 6px 7px,transparent 7px 14px)}
.tv-tw{display:inline-block;width:14px;color:var(--th-muted);text-align:center}.tv-gl{display:inline-block;width:16px;text-align:center}.tv-b{font-weight:600}
.tv-tag{display:inline-block;font-size:10px;line-height:14px;padding:0 4px;margin-left:5px;border-radius:3px;border:1px solid currentColor}.tv-critical{color:var(--th-error);border-style:dashed}.tv-warning{color:var(--th-warning);border-style:dashed}.tv-info{color:var(--th-muted);border-style:dashed}
.tv-c{flex:none;width:72px;padding-right:8px;text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.tv-tl{flex:1;position:relative;min-width:60px;margin-right:8px;overflow:hidden}
.tv-bar1{position:absolute;top:5px;height:12px;min-width:2px;border-radius:2px}.tv-path{position:absolute;bottom:1px;height:2px;left:0;right:0}.tv-bar1.tv-f{outline:1.5px dashed;outline-offset:1px}
.tv-rail{position:absolute;left:1px;top:0;bottom:0;width:3px}.tv-rail.tv-critical{background:repeating-linear-gradient(var(--th-error) 0 5px,transparent 5px 8px)}.tv-rail.tv-warning{background:repeating-linear-gradient(var(--th-warning) 0 2px,transparent 2px 5px)}.tv-rail.tv-info{background:repeating-linear-gradient(var(--th-muted) 0 1px,transparent 1px 5px)}
.tv-tag.tv-act{cursor:pointer}.tv-tag.tv-act:hover{background:color-mix(in srgb,currentColor 14%,transparent)}.tv-sum{background:color-mix(in srgb,var(--th-fg) 4%,transparent)}.tv-sum .tv-nm>span:not(.tv-tag){font-style:italic}
.tv-gap{position:absolute;top:0;bottom:0;z-index:2;pointer-events:none;background:repeating-linear-gradient(115deg,color-mix(in srgb,var(--th-bg) 45%,transparent) 0 5px,color-mix(in srgb,var(--th-fg) 30%,var(--th-bg)) 5px 6px);border:dashed color-mix(in srgb,var(--th-fg) 40%,var(--th-bg));border-width:0 1px}
.tv-live{color:var(--th-accent)}
.tv-tip{position:absolute;z-index:5;pointer-events:none;display:none;max-width:380px;padding:7px 10px;border-radius:5px;font-size:11.5px;line-height:1.45;background:var(--th-bg);color:var(--th-fg);border:1px solid color-mix(in srgb,var(--th-fg) 32%,var(--th-bg));box-shadow:0 3px 14px #0004;overflow-wrap:anywhere}
.tv-tip dl,.tv-help dl{display:grid;grid-template-columns:auto 1fr;gap:1px 12px;margin:4px 0 0}.tv-tip dt,.tv-help dd{color:var(--th-muted)}.tv-tip dd,.tv-help dd{margin:0}.tv-tip dd{font-variant-numeric:tabular-nums}
.tv-help{position:absolute;z-index:6;right:12px;top:42px;padding:10px 14px;background:var(--th-bg);border:1px solid color-mix(in srgb,var(--th-fg) 32%,var(--th-bg));border-radius:6px;box-shadow:0 4px 18px #0005}.tv-help[hidden]{display:none}
.tv-help dt{font-weight:600;white-space:nowrap}.tv-note{padding:3px 10px;border-top:1px solid var(--th-line);background:var(--th-bg2);color:var(--th-muted);min-height:23px;display:flex;gap:1px 14px;flex-wrap:wrap}.tv-key i{display:inline-block;width:14px;height:9px;border-radius:2px;margin-right:4px;vertical-align:-1px}
.tv-empty{padding:36px;text-align:center;color:var(--th-muted)}
@media print{.tv-bar,.tv-help,.tv-tip{display:none!important}.tv-scroll{overflow:hidden}}`;
