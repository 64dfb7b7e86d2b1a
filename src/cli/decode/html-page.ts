/**
 * Style and script of the page of `decode --format html`.
 *
 * @module
 */

/** Follows the reader's choice of light or dark. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;--fg:#1d2430;--bg:#fff;--soft:#687386;--line:#d9dee6;--card:#f6f8fa;--bad:#b3261e;--warn:#8a5a00}
@media(prefers-color-scheme:dark){:root{--fg:#e3e8ef;--bg:#12161c;--soft:#97a3b4;--line:#2c3542;--card:#1a2029;--bad:#ff8a80;--warn:#f0c060}}
body{margin:0;font:14px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}
main{max-width:1100px;margin:0 auto;padding:24px}h1{font-size:22px;margin:0}h2{font-size:16px;margin:28px 0 8px}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:12px;overflow:auto;white-space:pre-wrap}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--soft);font-weight:600}
input{font:inherit;padding:6px 10px;width:320px;max-width:100%;border:1px solid var(--line);border-radius:6px;background:var(--bg);color:var(--fg)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(480px,1fr));gap:20px}.plot h2{margin-top:0}.u-legend{font-size:12px}
.drop,.skip{color:var(--bad)}.warning{color:var(--warn)}.soft{color:var(--soft)}.scroll{overflow:auto;max-height:560px}
`

/** Draws the page from the data in it. Text is only ever set as text. */
export const PAGE_SCRIPT = `
const data=JSON.parse(document.getElementById('data').textContent)
const main=document.querySelector('main')
const make=(tag,text,parent=main,kind='')=>{const e=document.createElement(tag);if(text!==undefined)e.textContent=text;if(kind)e.className=kind;parent.append(e);return e}
make('h1','IPVS synchronisation report');make('div',data.title,main,'soft')
make('pre',data.summary.join('\\n'))
const css=name=>getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const colours=['#3b82f6','#f59e0b','#10b981','#ef4444','#8b5cf6','#ec4899','#14b8a6','#84cc16','#f97316','#6366f1','#06b6d4','#a3a3a3']
const grid=make('div',undefined,main,'plots')
for(const p of data.plots){if(p.times.length===0)continue
 const box=make('div',undefined,grid,'plot');make('h2',p.title+' per second',box)
 const axis={stroke:css('--soft'),grid:{stroke:css('--line')},ticks:{stroke:css('--line')}}
 new uPlot({width:500,height:210,legend:{live:false},scales:{y:{range:(u,min,max)=>[0,max>0?max*1.1:1]}},axes:[axis,{...axis,size:60}],
  series:[{},...p.lines.map((l,i)=>({label:l.name,stroke:colours[i%12],width:1.5,points:{show:p.times.length<30}}))]},
  [p.times,...p.lines.map(l=>l.rates)],box)}
const table=(heads,parent)=>{const wrap=make('div',undefined,parent,'scroll'),t=make('table',undefined,wrap),h=make('tr',undefined,make('thead',undefined,t));for(const x of heads)make('th',x,h);return make('tbody',undefined,t)}
make('h2','Gaps')
if(data.gaps.length===0)make('p','No time of 3 s or more without a message.',main,'soft')
else{const b=table(['from','to','seconds'],main);for(const g of data.gaps){const r=make('tr',undefined,b);make('td',new Date(g.from).toISOString(),r);make('td',new Date(g.to).toISOString(),r);make('td',((g.to-g.from)/1000).toFixed(3),r)}}
make('h2','Problems')
if(data.problems.length===0)make('p','None.',main,'soft')
else{const b=table(['packet','receiver','code','found','meaning'],main);for(const p of data.problems){const r=make('tr',undefined,b);p.forEach((x,i)=>make('td',x,r,i===1?p[1]:''))}}
make('h2','Connections')
const search=make('input');search.type='search';search.placeholder='address, port, state …';search.id='search'
const count=make('p','',main,'soft');count.id='count'
const body=table(['protocol','client','virtual','destination','last state','last announced','records'],main)
const show=()=>{const words=search.value.toLowerCase().split(/\\s+/).filter(Boolean)
 const found=data.connections.filter(c=>{const text=c.join(' ').toLowerCase();return words.every(w=>text.includes(w))})
 body.replaceChildren();for(const c of found.slice(0,1000)){const r=make('tr',undefined,body);for(const x of c)make('td',x,r)}
 count.textContent=found.length+' of '+data.connections.length+' connections'+(found.length>1000?', the first 1000 shown':'')+(data.isCut?' (the page holds the first '+data.connections.length+')':'')}
search.addEventListener('input',show);show()
`
