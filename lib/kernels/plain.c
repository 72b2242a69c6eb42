#include "kernels/attention.h"
#include "kernels/linear.h"
#include "kernels/norm.h"
#include "kernels/pool.h"
#include "kernels/rope.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>
#include <stdlib.h>
static float fb(uint16_t h){uint32_t u=(uint32_t)h<<16;float f;memcpy(&f,&u,4);return f;}
static uint16_t tb(float f){uint32_t u;memcpy(&u,&f,4);u+=0x7fff+((u>>16)&1);return (uint16_t)(u>>16);}
static size_t es(ce_number n){return n==CE_NUMBER_FP32?4:n==CE_NUMBER_BF16?2:1;}
size_t ce_rows_stride(ce_number n,size_t w){size_t b=(w*es(n)+63)/64;return (b|1)*64;}
ce_rows ce_rows_from(const ce_rows*r,size_t row){ce_rows o=*r;o.data=(char*)r->data+row*r->stride;if(r->scales)o.scales=r->scales+row;return o;}
static float get(const ce_rows*r,size_t row,size_t i){char*p=(char*)r->data+row*r->stride;return r->number==CE_NUMBER_FP32?((float*)p)[i]:fb(((uint16_t*)p)[i]);}
static void put_row(const ce_rows*to,size_t row,const float*v,size_t w){char*p=(char*)to->data+row*to->stride;
 if(to->number==CE_NUMBER_FP32){memcpy(p,v,w*4);return;}
 if(to->number==CE_NUMBER_BF16){for(size_t i=0;i<w;i++)((uint16_t*)p)[i]=tb(v[i]);for(size_t i=w;i%4;i++)((uint16_t*)p)[i]=0;return;}
 float lo=0,hi=0;for(size_t i=0;i<w;i++){lo=fminf(lo,v[i]);hi=fmaxf(hi,v[i]);}float s=(hi-lo)/255;if(!(s>0))s=1;float z=nearbyintf(-lo/s);to->scales[row]=(ce_row_scale){s,z};
 for(size_t i=0;i<w;i++){float q=nearbyintf(v[i]/s)+z;((uint8_t*)p)[i]=(uint8_t)(q<0?0:q>255?255:q);}for(size_t i=w;i%4;i++)((uint8_t*)p)[i]=0;}
void ce_rows_convert(const ce_rows*f,size_t n,size_t w,const ce_rows*t,ce_isa isa){(void)isa;for(size_t r=0;r<n;r++)put_row(t,r,(float*)((char*)f->data+r*f->stride),w);}
static size_t group(ce_number n){return n==CE_NUMBER_FP32?1:n==CE_NUMBER_BF16?2:4;}
static size_t pb(ce_number n,size_t in){size_t g=group(n);return (in+g-1)/g*g*32*es(n);}
size_t ce_linear_bytes(ce_number n,size_t in,size_t out){size_t p=ce_linear_panels(out);return p*pb(n,in)+p*128*(n==CE_NUMBER_INT8?3:1);}
void ce_linear_place(ce_linear*l,ce_number n,size_t in,size_t out,const void*m){size_t p=ce_linear_panels(out);*l=(ce_linear){n,in,out,m,NULL,NULL,NULL};const char*c=(const char*)m+p*pb(n,in);l->bias=(const float*)c;if(n==CE_NUMBER_INT8){l->scales=(const float*)(c+p*128);l->sums=(const float*)(c+p*256);}}
void ce_linear_pack(const ce_linear*l,size_t p,const float*w,size_t st,const float*b,size_t cols){size_t g=group(l->number),kg=(l->in+g-1)/g;char*o=(char*)l->panels+p*pb(l->number,l->in);
 for(size_t j=0;j<32;j++){((float*)l->bias)[p*32+j]=j<cols&&b?b[j]:0;float s=1;if(l->number==CE_NUMBER_INT8){float m=0;if(j<cols)for(size_t k=0;k<l->in;k++)m=fmaxf(m,fabsf(w[j*st+k]));s=m>0?m/127:1;((float*)l->scales)[p*32+j]=s;}
  float sum=0;for(size_t k=0;k<kg*g;k++){float v=j<cols&&k<l->in?w[j*st+k]:0;size_t at=(k/g*32+j)*g+k%g;if(l->number==CE_NUMBER_FP32)((float*)o)[at]=v;else if(l->number==CE_NUMBER_BF16)((uint16_t*)o)[at]=tb(v);else{float q=nearbyintf(v/s);sum+=q;((int8_t*)o)[at]=(int8_t)q;}}
  if(l->number==CE_NUMBER_INT8)((float*)l->sums)[p*32+j]=sum;}}
static float act(ce_activation a,float x){return a==CE_ACTIVATION_GELU?0.5f*x*(1+erff(x*0.70710678f)):a==CE_ACTIVATION_GELU_TANH?0.5f*x*(1+tanhf(0.79788456f*(x+0.044715f*x*x*x))):x;}
void ce_linear_run(const ce_linear*l,const ce_rows*in,size_t count,size_t p0,size_t p1,const ce_linear_output*out,ce_isa isa){(void)isa;size_t g=group(l->number),kg=(l->in+g-1)/g;
 for(size_t r=0;r<count;r++)for(size_t p=p0;p<p1;p++){const char*w=(const char*)l->panels+p*pb(l->number,l->in);const char*a=(const char*)in->data+r*in->stride;float y[32]={0};int32_t iy[32]={0};
  for(size_t k=0;k<kg;k++)for(size_t t=0;t<g&&k*g+t<l->in;t++){size_t kk=k*g+t;for(size_t j=0;j<32;j++){size_t at=(k*32+j)*g+t;if(l->number==CE_NUMBER_FP32)y[j]+=((const float*)a)[kk]*((const float*)w)[at];else if(l->number==CE_NUMBER_BF16)y[j]+=fb(((const uint16_t*)a)[kk])*fb(((const uint16_t*)w)[at]);else iy[j]+=((const uint8_t*)a)[kk]*((const int8_t*)w)[at];}}
  for(size_t j=0;j<32;j++){if(l->number==CE_NUMBER_INT8)y[j]=((float)iy[j]-in->scales[r].zero*l->sums[p*32+j])*in->scales[r].scale*l->scales[p*32+j];y[j]+=l->bias[p*32+j];}
  size_t w0=p*32,n=32,lim=l->out;if(out->activation==CE_ACTIVATION_SILU_GATE){for(size_t j=0;j<16;j++)y[j]=y[j]/(1+expf(-y[j]))*y[j+16];w0=p*16;n=16;lim=l->out/2;}
  char*o=(char*)out->rows.data+r*out->rows.stride;for(size_t j=0;j<n&&w0+j<lim;j++){float v=act(out->activation,y[j]);if(out->multiply)v*=out->multiply[w0+j];if(out->rows.number==CE_NUMBER_FP32){if(out->add)v+=((float*)o)[w0+j];((float*)o)[w0+j]=v;}else ((uint16_t*)o)[w0+j]=tb(v);}}}
void ce_norm_rows(const ce_norm*nm,const ce_rows*in,size_t n,const ce_rows*out,const ce_rows*low,ce_isa isa){(void)isa;float*t=malloc(nm->width*8),*u=t+nm->width;for(size_t r=0;r<n;r++){const float*x=(const float*)((char*)in->data+r*in->stride);double m=0,q=0;if(nm->centred){for(size_t i=0;i<nm->width;i++)m+=x[i];m/=nm->width;}for(size_t i=0;i<nm->width;i++)q+=(x[i]-m)*(x[i]-m);double k=1/sqrt(q/nm->width+nm->eps);for(size_t i=0;i<nm->width;i++){t[i]=(float)((x[i]-m)*k)*nm->gain[i]+(nm->bias?nm->bias[i]:0);u[i]=nm->smooth?t[i]*nm->smooth[i]:t[i];}if(out)put_row(out,r,t,nm->width);if(low)put_row(low,r,u,nm->width);}free(t);}
void ce_rope_rows(const ce_rope*p,const ce_rows*rows,size_t n,const int32_t*pos,size_t first,size_t heads,size_t hd,ce_isa isa){(void)isa;size_t h=p->rotary_dim/2;for(size_t r=0;r<n;r++)for(size_t k=0;k<heads;k++){float*x=(float*)((char*)rows->data+r*rows->stride)+first+k*hd;for(size_t i=0;i<h;i++){float c=p->cos[(size_t)pos[r]*h+i],s=p->sin[(size_t)pos[r]*h+i],a=x[i],b=x[i+h];x[i]=a*c-b*s;x[i+h]=b*c+a*s;}}}
void ce_pool_rows(ce_pooling k,const ce_rows*rows,size_t n,size_t w,float*o,ce_isa isa){(void)isa;for(size_t i=0;i<w;i++){double s=0,ws=0;float m=-INFINITY;for(size_t r=0;r<n;r++){float v=get(rows,r,i);double wt=k==CE_POOL_WEIGHTED_MEAN?(double)(r+1):1;s+=v*wt;ws+=wt;m=fmaxf(m,v);}o[i]=k==CE_POOL_CLS?get(rows,0,i):k==CE_POOL_LAST?get(rows,n-1,i):k==CE_POOL_MAX?m:k==CE_POOL_MEAN_SQRT_LEN?(float)(s/sqrt((double)n)):(float)(s/ws);}}
size_t ce_attention_scratch(ce_number n,size_t d,size_t longest){(void)n;(void)d;return longest*4+64;}
void ce_attention_run(const ce_attention*a,const ce_attention_text*t,size_t h0,size_t h1,void*scratch){float*s=scratch;size_t e=es(a->number),g=a->heads/a->kv_heads,d=a->head_dim;
#define EL(hs,row,hd,i) (a->number==CE_NUMBER_FP32?((const float*)hs.data)[(ptrdiff_t)(row)*hs.by_token+(ptrdiff_t)(hd)*hs.by_head+(ptrdiff_t)(i)]:fb(((const uint16_t*)hs.data)[(ptrdiff_t)(row)*hs.by_token+(ptrdiff_t)(hd)*hs.by_head+(ptrdiff_t)(i)]))
 (void)e;for(size_t h=h0;h<h1;h++)for(size_t q=0;q<t->queries;q++){int64_t i=(int64_t)(t->first+q);float m=-INFINITY,z=0;int64_t lo=a->window_left<0||i<a->window_left?0:i-a->window_left,hi=a->window_right<0||i+a->window_right>=(int64_t)t->tokens?(int64_t)t->tokens-1:i+a->window_right;
  for(int64_t j=lo;j<=hi;j++){float x=0;for(size_t k=0;k<d;k++)x+=EL(a->q,t->query_row+q,h,k)*EL(a->k,t->row+(size_t)j,h/g,k);s[j]=x*a->scale;m=fmaxf(m,s[j]);}
  for(int64_t j=lo;j<=hi;j++){s[j]=expf(s[j]-m);z+=s[j];}
  for(size_t k=0;k<d;k++){float x=0;for(int64_t j=lo;j<=hi;j++)x+=s[j]*EL(a->v,t->row+(size_t)j,h/g,k);x/=z;char*o=(char*)a->out.data+(t->query_row+q)*a->out.stride;if(a->out.number==CE_NUMBER_FP32)((float*)o)[h*d+k]=x;else((uint16_t*)o)[h*d+k]=tb(x);}}}
