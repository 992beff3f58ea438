/** The report's look: one style sheet, light and dark and print, with no font, image or address from outside. Meaning never hangs on colour alone. */

export const THEME = `
:root{color-scheme:light dark;--bg:#f6f7f9;--paper:#fff;--ink:#17202c;--soft:#5a6675;--line:#e1e5eb;--faint:#eef1f5;
--pass:#0c7a4b;--pass-bg:#e5f5ec;--fail:#b8232f;--fail-bg:#fdecec;--marginal:#8f5b00;--marginal-bg:#fdf3dc;--inconclusive:#51596a;--inconclusive-bg:#eceff4;
--primary:#2257c5;--standby:#b9cdf4;--standby-ink:#1c3a78;--off:#c8ced8;--off2:#9aa4b2;--fault:#b4540a;--fault-soft:#b4540a1c;--good:#3fa576;--partly:#e0a93b;--bad:#d2434e;--bad2:#8d1520;
--s0:#5a4fcf;--s1:#2f7fc1;--s2:#15908a;--s3:#6f8f1f;--s4:#a0662b;--accent:#2257c5}
@media (prefers-color-scheme:dark){:root{--bg:#0f141b;--paper:#171e27;--ink:#e6ebf2;--soft:#9aa7b8;--line:#2a3442;--faint:#1f2833;
--pass:#5fd39b;--pass-bg:#12301f;--fail:#ff8d92;--fail-bg:#3a171b;--marginal:#f1c15c;--marginal-bg:#33270d;--inconclusive:#b3bdcc;--inconclusive-bg:#262f3b;
--primary:#4d83f0;--standby:#2c426f;--standby-ink:#cfdefc;--off:#39434f;--off2:#5b6776;--fault:#f0954a;--fault-soft:#f0954a26;--good:#2f9a6a;--partly:#c9922b;--bad:#cf4852;--bad2:#ffb3b6;
--s0:#8a80f2;--s1:#4f9ee0;--s2:#35b3ab;--s3:#9cbb4a;--s4:#cf9257;--accent:#7fa8ff}}
*{box-sizing:border-box}html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1200px;margin:0 auto;padding:24px 24px 64px}
h1{font-size:27px;line-height:1.2;margin:2px 0 0;letter-spacing:-.015em}h2{font-size:19px;margin:0 0 12px;letter-spacing:-.01em}h3{font-size:15px;margin:20px 0 8px}
p{margin:0 0 8px}a{color:var(--accent)}code,pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}pre{white-space:pre-wrap;background:var(--faint);padding:12px;border-radius:8px}
small{display:block;color:var(--soft);font-size:12.5px;font-weight:400;line-height:1.4}.strong{font-weight:650}.note{color:var(--soft);font-size:13px}
.top{display:flex;flex-wrap:wrap;gap:16px 32px;justify-content:space-between;align-items:flex-end;margin-bottom:16px}
.kicker{font-size:12px;letter-spacing:.09em;text-transform:uppercase;color:var(--soft);margin:0;font-weight:650}
.tag{display:inline-block;border:1.5px solid currentColor;border-radius:4px;padding:0 6px;font-size:11px;letter-spacing:.06em;font-weight:700;text-transform:uppercase;vertical-align:1px}
.id{display:flex;flex-wrap:wrap;gap:6px 26px;margin:0}.id dt,.facts dt{color:var(--soft);font-size:12.5px}.id dd{margin:0;font-weight:600}
.verdict{display:flex;flex-wrap:wrap;gap:4px 18px;align-items:center;border-radius:12px;padding:16px 20px;margin-bottom:16px;border:1px solid var(--line);border-left:6px solid}
.verdict p{margin:0}.verdict ul{margin:4px 0 0;padding-left:18px;font-size:13.5px}.verdict>div{flex:1 1 320px}.verdict .word{font-size:25px;font-weight:750;line-height:1.15;letter-spacing:-.01em}
.badge{width:46px;height:46px;border-radius:50%;display:grid;place-items:center;font-size:25px;font-weight:700;color:var(--paper)}
.verdict .caveat{flex:0 1 330px;color:var(--ink);font-size:13.5px;text-align:right}.caveat span{display:block}
.pass{--v:var(--pass);--vb:var(--pass-bg)}.fail{--v:var(--fail);--vb:var(--fail-bg)}.marginal{--v:var(--marginal);--vb:var(--marginal-bg)}.inconclusive{--v:var(--inconclusive);--vb:var(--inconclusive-bg)}
.verdict{background:var(--vb);border-left-color:var(--v)}.verdict .word{color:var(--v)}.badge{background:var(--v)}
.chip{display:inline-block;white-space:nowrap;color:var(--v);background:var(--vb);border-radius:20px;padding:1px 10px;font-weight:650;font-size:13px}
section.block{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:20px 22px;margin-top:16px}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}th,td{text-align:left;padding:8px 12px 8px 0;border-top:1px solid var(--line);vertical-align:top}
thead th{border-top:0;color:var(--soft);font-weight:500;font-size:12.5px;padding-top:0;white-space:nowrap}tbody th{font-weight:600}td{overflow-wrap:anywhere}.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;padding-right:20px}
.objectives{background:var(--paper);border-radius:12px;border-collapse:separate;border-spacing:0;border:1px solid var(--line);font-size:15px}
.objectives th:first-child{padding-left:20px}.objectives thead th{padding-top:9px}.objectives td,.objectives th{vertical-align:middle;padding-top:7px;padding-bottom:7px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(258px,1fr));gap:14px;margin-top:16px}.card{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:13px 16px;font-size:13.5px}
.card h2{font-size:12px;letter-spacing:.07em;text-transform:uppercase;color:var(--soft);margin:0 0 6px}.card ul{margin:0;padding-left:16px}.card .plain{padding:0;list-style:none}.card li{margin-bottom:3px}
.facts{margin:0}.facts div{margin-bottom:5px}.facts dd{margin:0;overflow-wrap:anywhere}.facts.wide{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:4px 28px;margin:12px 0;font-size:14px}
.digest{font-size:11px;overflow-wrap:anywhere;line-height:1.35;display:inline-block}.sev{font-weight:700;font-size:12px;text-transform:uppercase;letter-spacing:.03em}.sev.high{color:var(--fail)}.sev.medium{color:var(--marginal)}.sev.low{color:var(--soft)}
.said{font-style:italic}.statement{font-size:16px;font-weight:600}.limits{padding-left:18px;margin:0}.legend{list-style:none;padding:0;margin:8px 0 0;display:flex;flex-wrap:wrap;gap:4px 20px;font-size:13px;color:var(--soft)}.legend svg{width:12px;height:12px;margin-right:6px;vertical-align:-1px}
svg{display:block;max-width:100%;height:auto}svg.defs{position:absolute}.strip{width:100%}.gauge{width:150px;height:18px}.legend svg{display:inline-block}
.figurebox{overflow-x:auto}.figurebox>svg{min-width:820px;width:100%}svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--soft)}
text.lane{fill:var(--ink);font-weight:600}text.in{font-size:11.5px;font-weight:600;fill:#fff}text.figure{fill:var(--ink);font-variant-numeric:tabular-nums;font-weight:600}
.rule{stroke:var(--line)}.zero{stroke:var(--soft);stroke-dasharray:2 3}.base{stroke:var(--faint)}.base.strong{stroke:var(--line)}.instant line{stroke:var(--ink);stroke-width:1.3}.instant text{fill:var(--ink);font-weight:700}
.primary,.leader{fill:var(--primary)}.standby{fill:var(--standby)}text.standby-text{fill:var(--standby-ink)}.down{fill:url(#hatch-off)}text.down-text{fill:var(--ink)}.po{fill:var(--faint)}.pol{stroke:var(--off2);stroke-width:2}
.fault{fill:var(--fault)}.unsure{fill:var(--fault-soft);stroke:var(--fault);stroke-dasharray:4 3}text.unsure-text{fill:var(--ink)}.good{fill:var(--good)}.partly{fill:var(--partly)}.bad,.outage{fill:url(#hatch-bad)}.pb{fill:var(--bad)}.pbl{stroke:var(--bad2);stroke-width:1.6}
text.outage-text{paint-order:stroke;stroke:var(--bad2);stroke-width:3px}.step{fill:var(--faint);stroke:var(--off)}text.step-text{fill:var(--ink);font-weight:500}.mark{fill:var(--ink)}
.seg0{fill:var(--s0)}.seg1{fill:var(--s1)}.seg2{fill:var(--s2)}.seg3{fill:var(--s3)}.seg4{fill:var(--s4)}.total{fill:var(--soft)}.whisker{stroke:var(--ink);stroke-width:1.4;fill:none}.envelope{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 3;fill:none}
.p99{stroke:var(--primary);stroke-width:1.8;fill:none;stroke-linejoin:round;stroke-linecap:round}.p50{stroke:var(--good);stroke-width:1.8;fill:none;stroke-dasharray:5 3}.shade{fill:var(--fault-soft)}.lag{stroke:var(--primary);stroke-width:1.8;fill:none;stroke-linejoin:round;stroke-linecap:round}.lag-low{stroke:var(--primary);stroke-width:1.4;fill:none;stroke-dasharray:2 3;stroke-linecap:round}.lag-open{stroke:var(--fault);stroke-width:1.8;fill:none;stroke-dasharray:7 4}
.e-rejected{fill:var(--partly)}.e-indeterminate{fill:var(--s0)}.e-missed{fill:url(#hatch-bad)}.track{fill:var(--faint)}.fill{fill:var(--v)}.goal{stroke:var(--ink);stroke-width:1.6}
text.outage-text,text.fault-text,text.primary-text,text.leader-text,text.seg-text{fill:#fff}
@media (prefers-color-scheme:dark){text.fault-text,text.seg-text{fill:#10151c}text.outage-text{stroke:#5c0d14}}
@media (max-width:700px){main{padding:16px 12px 40px}.verdict .caveat{text-align:left}.gauge{width:90px}}
@media print{:root{color-scheme:light;--bg:#fff}body{font-size:11.5px}main{max-width:none;padding:0}@page{size:A4;margin:13mm}.page-one{break-after:page}section.block{break-inside:auto;border:0;padding:0;margin-top:18px}
h2,h3{break-after:avoid}tr,svg,.card{break-inside:avoid}.figurebox>svg{min-width:0}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}.cards{grid-template-columns:1fr 1fr}.scroll,.figurebox{overflow:visible}.objectives{font-size:11.5px}.num{padding-right:8px}}
`;
